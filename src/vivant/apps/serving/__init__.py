"""The HTTP service: uploads, a store of jobs, worker processes, and the routes over them."""
