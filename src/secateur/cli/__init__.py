"""The command line: one small file a command, with imports inside so that help answers at once."""
