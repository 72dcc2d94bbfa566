; The Windows installer, by Inno Setup: ISCC.exe /DVersion=0.1.0 packaging\windows.iss
; For one user, without an administrator; what it writes, the uninstaller removes.
#ifndef Version
  #error Pass /DVersion=...
#endif

[Setup]
AppId={{6B1C6E0B-6B5E-4C0E-9C55-8E6D0F3B1B0A}
AppName=cloudfilm
AppVersion={#Version}
AppPublisher=cloudfilm contributors
DefaultDirName={autopf}\cloudfilm
PrivilegesRequired=lowest
ArchitecturesAllowed=x64compatible
ArchitecturesInstallIn64BitMode=x64compatible
DisableProgramGroupPage=yes
LicenseFile=..\LICENSE
OutputDir=..\dist
OutputBaseFilename=cloudfilm-{#Version}-windows-x86_64-setup
SetupIconFile=..\build\package\icon\cloudfilm.ico
UninstallDisplayIcon={app}\cloudfilm-window.exe
Compression=lzma2
SolidCompression=yes
WizardStyle=modern

[Files]
Source: "..\build\package\made\cloudfilm\*"; DestDir: "{app}"; Flags: recursesubdirs ignoreversion

[Icons]
Name: "{autoprograms}\cloudfilm"; Filename: "{app}\cloudfilm-window.exe"
Name: "{autodesktop}\cloudfilm"; Filename: "{app}\cloudfilm-window.exe"

[Run]
Filename: "{app}\cloudfilm-window.exe"; Description: "{cm:LaunchProgram,cloudfilm}"; Flags: nowait postinstall skipifsilent
