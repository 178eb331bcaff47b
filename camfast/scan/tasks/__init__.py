"""A scan as tasks: bricks of windows, blocks of the map, what is kept of them, and who does them."""
