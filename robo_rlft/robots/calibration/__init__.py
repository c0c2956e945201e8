"""Where cameras stand: from points of the table or a ChArUco board, solved here."""
