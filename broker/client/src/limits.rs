//! Every fixed limit of the client, with the reason for its size.
