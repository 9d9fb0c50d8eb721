"""What shoppers did: events in one form, their cleaning, types, ids that name nobody, bots,
other formats.
"""
