"""All that `params.yaml` may say, and nothing else: one strict, frozen model per block, one file per axis.

A member of an axis (network, scope, objective, head) is a settings class here and an implementation of the same name
in the module named by its tag (`networks/rwkv7.py` holds `RWKV7`); this package imports neither torch nor any of them.
"""

from resonance.params.block import *
from resonance.params.file import *
from resonance.params.heads import *
from resonance.params.networks import *
from resonance.params.objectives import *
from resonance.params.optimizers import *
from resonance.params.orders import *
from resonance.params.scopes import *
from resonance.params.shown import *
from resonance.params.study import *
