def build_modules(config):
    return {}


def optimize_for_inference(modules):
    return modules
