"""How an image is judged: the network as an attack sees it, probes, kept chunks."""
