"""The state of one entity, its bytes, and the fold (state, event) -> (state, values).

The public face: import the states from here. A user's is in ``user_state.py``, a merchant's in
``merchant_state.py``, what both are made of in ``timeline.py``, ``distinct.py``, ``labels.py``.
"""

from features.engine.merchant_state import MerchantState
from features.engine.state_bytes import StateBytesError
from features.engine.user_state import UserState
from features.engine.values import Values

__all__ = ["MerchantState", "StateBytesError", "UserState", "Values"]
