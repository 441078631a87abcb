"""What the model saw: maps, pictures, and numbers for whether to believe them."""

from rra_keras.explain.explainer import Explainer as Explainer
from rra_keras.explain.explainer import Explanation as Explanation
