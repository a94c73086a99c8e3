"""From the marks of a run to what the learner held inside and what it predicted."""
