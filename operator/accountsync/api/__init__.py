"""The Kubernetes API of this operator: models, and the CustomResourceDefinitions made from them."""
