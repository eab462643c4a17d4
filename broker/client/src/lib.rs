//! Producer, consumer and admin client: a sans-IO core and a tokio shell.
