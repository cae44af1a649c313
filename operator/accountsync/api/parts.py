"""What all models share: how they are read, written, and turned into a schema."""

from typing import Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from accountsync.api.markers import VALIDATIONS, Rule


class FieldRuleError(ValueError):
    """A rule across fields is broken; the text begins with the path of the field to change."""


class Part(BaseModel):
    """Base of all models: camelCase outside, frozen, and unknown fields are left out as the API server does."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )
    crd_rules: ClassVar[tuple[Rule, ...]] = ()

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core_schema)
        if cls.crd_rules:
            handler.resolve_ref_schema(schema)[VALIDATIONS] = [rule.render() for rule in cls.crd_rules]
        return schema

    def dump(self) -> dict[str, Any]:
        """As JSON for the API server: camelCase, durations as written, decimals as text, nothing that is None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class StatusPart(Part):
    """A part of the status; it leaves out lists and maps that are empty."""

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value not in ([], (), {})}
