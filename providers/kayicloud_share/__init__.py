"""Shared examinations on 卡易 (Kayi)'s image server."""
