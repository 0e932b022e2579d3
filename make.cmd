@echo off
rem All logic is in scripts\project.py, which the Makefile calls too.
py -3 "%~dp0scripts\project.py" %*
exit /b %ERRORLEVEL%
