"""Entry point of ``python -m scoring.http``."""

from scoring.http.app import main

if __name__ == "__main__":
    main()
