"""accountsync: notices when a trading bot's belief and its exchange account part, and stops the bot."""

__version__ = "0.1.0"
