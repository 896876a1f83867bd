"""What the subcommands do, one file each."""
