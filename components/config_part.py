"""What all settings share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from components.config_fields import whole_number

Positive = Annotated[int, BeforeValidator(whole_number), Field(ge=1)]
NotNegative = Annotated[int, BeforeValidator(whole_number), Field(ge=0)]


class Part(BaseModel):
    """A part of the stack config: frozen, spelled in camelCase there, and no key that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, hide_input_in_errors=True)
