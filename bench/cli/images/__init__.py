"""What `bench data` and `bench doctor` say of the images: which are here, and a choice of them as a file."""
