"""Studies: questions that take many solves. A folder for each."""
