"""What looks at clips: each module defines metrics and collects them from blocks of frames."""
