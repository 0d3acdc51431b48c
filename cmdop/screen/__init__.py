"""What a client that joins has to be shown, so that its screen is the true one."""
