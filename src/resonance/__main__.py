"""`python -m resonance <verb>`: one verb per rule of the workflow."""

from resonance.cli import main

raise SystemExit(main())
