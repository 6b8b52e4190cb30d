"""What in a picture speaks for a class: maps of a model's reasons, to lay over the picture.

Every function takes a model that returns logits (N, classes), and a batch of pictures
(N, C, H, W) prepared as the model wants them. It explains one class of each picture: that of
``target``, by default the model's own choice. The model is run in evaluation mode, and its
modes, parameters and gradients are afterwards as they were before.
"""

from minidl.explain.cam import grad_cam, grad_cam_plus_plus
from minidl.explain.gradient import saliency
from minidl.explain.integrated import integrated_gradients
from minidl.explain.occlude import occlusion
from minidl.explain.picture import overlay
from minidl.explain.smooth import smooth_grad
