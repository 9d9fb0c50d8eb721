"""Who may ask: keys, guard, sessions, sign-in, hosts, origins, rates."""
