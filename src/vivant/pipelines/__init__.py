"""The verbs, composed once from the rooms below: animate, edit, stream, train, evaluate, benchmark."""
