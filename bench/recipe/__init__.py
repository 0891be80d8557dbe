"""How a network is trained: the settings of a recipe and the learning rates they mean."""
