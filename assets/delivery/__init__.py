"""How pending contacts reach Mailtrap for certain: sent, awaited, proven, and taken up again after any crash."""
