//! The cluster's own metadata: commands become records, records become an image.
