"""The one provider of AWS's resources: its region and tags come from the stack config, whatever the operator's own defaults are."""

from __future__ import annotations

import pulumi
from pulumi_aws import Provider, ProviderDefaultTagsArgs, ProviderEndpointArgs

from components.aws_settings import Aws
from components.step import Reach


def aws_provider(aws: Aws, reach: Reach, opts: pulumi.ResourceOptions) -> Provider:
    """The provider, once the move is allowed: nothing of AWS is made before. Credentials are the operator's own, as the AWS CLI has them."""
    region: pulumi.Output[str] = reach.allowed.apply(lambda _: aws.region)
    endpoints = [ProviderEndpointArgs(ec2=aws.endpoint, sts=aws.endpoint)] if aws.endpoint else None
    return Provider(
        "aws",
        region=region,
        default_tags=ProviderDefaultTagsArgs(tags=aws.tags) if aws.tags else None,
        endpoints=endpoints,
        opts=opts,
    )
