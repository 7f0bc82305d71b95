"""Plain words → `Reading`: what is asked, about which leads, limits and earlier answers."""
