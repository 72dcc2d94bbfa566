"""What other people and programs ask for, made from a folder on disk: a zip, a CD layout, pictures, NIfTI."""

from scraper.export.targets import Exported, ExportOptions, Target, beside, export

__all__ = ["Exported", "Target", "ExportOptions", "beside", "export"]
