"""What routes ask FastAPI for."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from vector_pipeline.serving.deployment import Deployment


def deployment_of(request: Request) -> Deployment:
    """The deployment that the app was made with."""
    deployment: Deployment = request.app.state.deployment
    return deployment


TheDeployment = Annotated[Deployment, Depends(deployment_of)]
"""A parameter of a route: the deployment."""
