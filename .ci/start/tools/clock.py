"""`clock`: a tool, as a start. Others stand in files beside it."""

from datetime import datetime
from zoneinfo import ZoneInfo

from langchain_core.tools import ToolException, tool

NO_TIMEZONE = "There is no timezone {name!r}; they have names such as Asia/Tokyo."


@tool
def clock(timezone: str) -> str:
    """the date and time in a timezone such as Asia/Tokyo"""
    try:
        zone = ZoneInfo(timezone)
    except (KeyError, OSError, ValueError) as error:
        raise ToolException(NO_TIMEZONE.format(name=timezone)) from error
    return datetime.now(zone).strftime("%A, %Y-%m-%d, %H:%M")


clock.metadata = {"cache": False, "trusted": True}
