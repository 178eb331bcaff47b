"""What the studies share: data, training, and how a result is written down."""
