"""The main path: state -> context -> signals -> scores -> order -> explanation, by the deadline."""
