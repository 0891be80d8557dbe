"""Networks that travel: a trained cell as a folder of verified files with a model card, here or on a hub."""
