"""The order of the cycles: where a run is cut, what each cycle holds, and the files that say so."""
