"""What fails is told by Slack and e-mail: once, and once more when it is well again."""
