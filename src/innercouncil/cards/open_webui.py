"""Open WebUI's model export: a list of models (or one), each a base model with `params.system` and `meta`."""

from __future__ import annotations

from typing import Any, Final

from innercouncil.cards.draft import OURS, Draft, aside, extras_of, finish, keys_listed, original_of
from innercouncil.cards.parsing import dump_json
from innercouncil.cards.safety import MAX_CARDS, as_dict, as_text, file_label, slug_of
from innercouncil.model.card import CardFile, ImportedCard, Original, PersonaCard
from innercouncil.model.errors import CardError

EXTRAS: Final = ("greeting", "examples", "creator", "version", "license")
_KNOWN_PARAMS: Final = ("system", "temperature", "top_p")
_KNOWN_META: Final = ("description", "tags", "profile_image_url", OURS)


def recognise(data: object) -> bool:
    """Whether the JSON value is a model of Open WebUI, or a list with one."""
    return any(_is_model(item) for item in (data if isinstance(data, list) else [data]))


def _is_model(item: object) -> bool:
    model = _model(item)
    return isinstance(model.get("params"), dict) and ("meta" in model or "base_model_id" in model or "name" in model)


def _model(item: object) -> dict[str, Any]:
    """The model; older exports wrap it in what the server said of it."""
    info = as_dict(item).get("info")
    return info if isinstance(info, dict) and "params" in info else as_dict(item)


def read(data: object, filename: str = "") -> list[ImportedCard]:
    """The cards of all models with a system prompt. Raises CardError where none has one."""
    models = [_model(item) for item in (data if isinstance(data, list) else [data]) if _is_model(item)]
    spoken = [m for m in models if as_text(as_dict(m.get("params")).get("system")).strip()]
    if not spoken:
        raise CardError(
            f"{file_label(filename)} is an Open WebUI export, but no model in it has a system prompt; add one there first."
        )
    notes = []
    if len(models) > len(spoken):
        notes.append(f"{len(models) - len(spoken)} models of the file have no system prompt and are left out.")
    if len(spoken) > MAX_CARDS:
        notes.append(f"Only the first {MAX_CARDS} of {len(spoken)} models are read.")
    return [parse(model, notes) for model in spoken[:MAX_CARDS]]


def parse(model: dict[str, Any], notes: list[str] | None = None) -> ImportedCard:
    """The card in one model."""
    params, meta = as_dict(model.get("params")), as_dict(model.get("meta"))
    draft = Draft(
        name=as_text(model.get("name")) or as_text(model.get("id")),
        description=meta.get("description"),
        system=params.get("system"),
        temperature=params.get("temperature"),
        top_p=params.get("top_p"),
        tags=meta.get("tags"),
        base_model=model.get("base_model_id"),
        unused=_unused(params, meta),
        loss=list(notes or []),
    )
    extras = as_dict(meta.get(OURS))
    draft.fill({name: extras[name] for name in EXTRAS if name in extras})
    return finish(draft, Original(format="open-webui", data=model))


def _unused(params: dict[str, Any], meta: dict[str, Any]) -> list[str]:
    settings = [key for key, value in params.items() if key not in _KNOWN_PARAMS and value is not None]
    others = [key for key, value in meta.items() if key not in _KNOWN_META and value]
    return [
        f"{what} of the model ({keys_listed(keys)})"
        for what, keys in (("settings", settings), ("details", others))
        if keys
    ]


def write(card: PersonaCard) -> CardFile:
    """The card as a list of one model, as Open WebUI imports it."""
    model = original_of(card, "open-webui")
    before = parse(model).card if model else None
    # {} keeps the model to its owner; null would show it to everybody on the server.
    model = model or {"id": slug_of(card.name), "base_model_id": None, "access_control": {}, "is_active": True}
    params, meta = dict(as_dict(model.get("params"))), dict(as_dict(model.get("meta")))
    places: list[tuple[dict[str, Any], str, str, Any]] = [
        (model, "name", "name", card.name),
        (model, "base_model_id", "base_model", card.base_model or None),
        (params, "system", "system", card.system),
        (params, "temperature", "temperature", card.temperature),
        (params, "top_p", "top_p", card.top_p),
        (meta, "description", "description", card.description),
        (meta, "tags", "tags", [{"name": tag} for tag in card.tags]),
    ]
    for place, key, name, value in places:
        if before is None or getattr(before, name) != getattr(card, name):
            place[key] = value
            if value is None and place is params:
                del place[key]
    if before is None:
        meta = {"profile_image_url": "/static/favicon.png", **meta, "capabilities": {}}
    extras = extras_of(card, EXTRAS)
    ours = {k: v for k, v in as_dict(meta.get(OURS)).items() if k not in EXTRAS} | extras
    if ours or OURS in meta:
        meta[OURS] = ours
    loss = aside(extras, "Open WebUI's models have", f"meta.{OURS}")
    if not card.base_model and not model.get("base_model_id"):
        loss.append("The card names no base model: choose one in Open WebUI after the import.")
    order = ("id", "base_model_id", "name", "params", "meta")
    model |= {"params": params, "meta": meta}
    content = [{key: model[key] for key in order if key in model} | model]
    return CardFile(
        filename=f"{slug_of(card.name)}.json",
        media_type="application/json",
        content=dump_json(content),
        loss=tuple(loss),
    )
