"""What computes: one file per member, one class per file, named like its settings in `params`."""
