"""The order of the cycles: where a run is cut, what each cycle holds, and the files that say so.

Cycles count from 1. `start` and `stop` count finished cycles: what lies between them is cycles start + 1 ... stop. Only
`orders` counts from 0, as the streams of random numbers do: its counter of cycle c is c − 1.
"""
