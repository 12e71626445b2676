"""MLflow: runs, registered versions, and who is champion."""
