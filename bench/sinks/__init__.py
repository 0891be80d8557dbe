"""Where the progress of a run is copied to, one file a sink; nothing here is imported unless `--sink` names it."""
