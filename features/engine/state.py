"""The state of one entity, its bytes, and the fold (state, event) -> (state, values).

Import the states from here. The state of a user is in ``user_state.py``, the state of a merchant in
``merchant_state.py``, and their parts in ``timeline.py``, ``distinct.py`` and ``labels.py``.
"""

from features.engine.merchant_state import MerchantState
from features.engine.state_bytes import StateBytesError
from features.engine.user_state import UserState
from features.engine.values import Values

__all__ = ["MerchantState", "StateBytesError", "UserState", "Values"]
