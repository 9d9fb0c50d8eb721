"""What is known of users beside their events, such as a tier: kept and erased with them."""
