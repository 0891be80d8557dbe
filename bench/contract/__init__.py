"""What plug-ins subclass and are told, in files of one idea each; they import it through `bench.api`."""
