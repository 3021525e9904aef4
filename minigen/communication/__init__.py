"""The processes that train together: World, alone or on MPI, and what it sums and shares."""
