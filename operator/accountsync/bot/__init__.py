"""Where a bot's belief is read: state sources behind `ports.BotState`, and the format that they share."""
