"""Resonance: what does a network learn from two texts that never change?"""

__version__ = "0.1.0"
